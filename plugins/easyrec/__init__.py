"""Everything that knows Airflow: operators, triggers, links and what starts with Airflow's components."""
