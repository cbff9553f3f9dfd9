from tests.support.database import database, database_url, postgres_cluster, postgres_template

__all__ = ["database", "database_url", "postgres_cluster", "postgres_template"]
