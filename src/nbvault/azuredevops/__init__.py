"""Azure DevOps by its REST API: repositories, what would refuse a push, personal access tokens."""

from nbvault.azuredevops.address import RepositoryAddress, address_of
from nbvault.azuredevops.client import AzureDevOpsClient, ClientOptions
from nbvault.azuredevops.obstacles import Obstacle, find_obstacles, protecting_policies
from nbvault.azuredevops.repositories import Repository, ensure_repository, find_repository, who_am_i

__all__ = [
    "AzureDevOpsClient",
    "ClientOptions",
    "Obstacle",
    "Repository",
    "RepositoryAddress",
    "address_of",
    "ensure_repository",
    "find_obstacles",
    "find_repository",
    "protecting_policies",
    "who_am_i",
]
