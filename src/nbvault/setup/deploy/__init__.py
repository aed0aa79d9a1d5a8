"""Putting nbvault to work: a bundle for Databricks and files for elsewhere, in versions that can be put back."""

from __future__ import annotations

from nbvault.setup.deploy.plan import Compute, DeployPlan, known_of
from nbvault.setup.deploy.render import render
from nbvault.setup.deploy.versions import Installed, install, rollback

__all__ = ["Compute", "DeployPlan", "Installed", "install", "known_of", "render", "rollback"]
