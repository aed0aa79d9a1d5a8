"""Who changed what, when: the change report, read from the vault's own history.

.. code-block:: text

    query    what is asked for          walk     the changes, newest first, as a stream
    details  their cells and lines      report   totals, sessions, the part that is shown
    tables   CSV, JSON, text, Markdown  page     one HTML file, and the daily mail
"""
