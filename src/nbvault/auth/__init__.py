"""Who we are, to the workspace and to the Git server; where secrets are; and who saw us sign in."""

from nbvault.auth.events import AuthEvent, Witness, witness_of
from nbvault.auth.manager import AuthenticationManager, Standing, attach_secret_stores

__all__ = ["AuthEvent", "AuthenticationManager", "Standing", "Witness", "attach_secret_stores", "witness_of"]
