"""The page inside Airflow's UI: routes, permissions, static files. What it shows comes from ``include.pages``."""
