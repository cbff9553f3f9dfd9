"""Where everything that outlives a process is kept: SQLite by default, PostgreSQL when scaled out.

The one package that knows SQLAlchemy. Others open a :class:`~ctiserver.store.database.Database`, take a unit of work
from it, and speak with its repositories in the words of ``ctiserver.model``.
"""
