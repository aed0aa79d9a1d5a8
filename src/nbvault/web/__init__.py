"""`nbvault serve`: the page where people help themselves. Needs the extra ``nbvault[web]``.

.. code-block:: text

    server    what listens               app      routes and their order      guard     what every request passes
    signing   who somebody is            access   what somebody may see       viewer    the values of both
    warm      the vault, kept open       catalogue  paths to search in        tasks     what takes long
    library   what the pages ask         cells    notebooks as HTML           routes/   parse, ask, show
"""
