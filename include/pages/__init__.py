"""What the page shows, as plain data made from the store: no Airflow, no HTML, no web server."""
