"""The configuration, and the only reader of the environment.

A value comes from, in this order: a variable ``NBVAULT_SECTION__KEY``, the file, the default. Relative paths are
relative to the file (without a file: to the working directory). No error quotes a value: it might be a secret.
"""

from nbvault.settings.checks import checked_host, is_loopback
from nbvault.settings.load import (
    FILE_NAME,
    NotConfigured,
    debug_wanted,
    environment_with,
    load_settings,
    without_settings,
    without_vendor_statistics,
)
from nbvault.settings.secret import Context, Secret, SecretStore
from nbvault.settings.sections import (
    AlertsSection,
    AzureSection,
    Bulk,
    Credential,
    Deletions,
    EmailSection,
    ExportFormat,
    ExportSection,
    MailSecurity,
    NetworkSection,
    Screening,
    ScreeningSection,
    Settings,
    SignIn,
    SlackSection,
    StateSection,
    SyncSection,
    TeamsSection,
    TelemetrySection,
    VaultAuth,
    VaultSection,
    WebSection,
    WorkspaceSection,
)
from nbvault.settings.told_checks import named

__all__ = [
    "FILE_NAME",
    "AlertsSection",
    "AzureSection",
    "Bulk",
    "Context",
    "Credential",
    "Deletions",
    "EmailSection",
    "ExportFormat",
    "ExportSection",
    "MailSecurity",
    "NetworkSection",
    "NotConfigured",
    "Screening",
    "ScreeningSection",
    "Secret",
    "SecretStore",
    "Settings",
    "SignIn",
    "SlackSection",
    "StateSection",
    "SyncSection",
    "TeamsSection",
    "TelemetrySection",
    "VaultAuth",
    "VaultSection",
    "WebSection",
    "WorkspaceSection",
    "checked_host",
    "debug_wanted",
    "environment_with",
    "is_loopback",
    "load_settings",
    "named",
    "without_settings",
    "without_vendor_statistics",
]
