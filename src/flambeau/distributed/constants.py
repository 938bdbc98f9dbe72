"""How long operations of a group may take."""

from datetime import timedelta

__all__ = ["default_pg_nccl_timeout", "default_pg_timeout"]


default_pg_timeout: timedelta = timedelta(minutes=30)
default_pg_nccl_timeout: timedelta = timedelta(minutes=10)
