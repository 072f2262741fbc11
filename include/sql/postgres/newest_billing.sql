-- How fresh is the billing?
SELECT max(recorded_at) AS newest FROM billing WHERE recorded_at <= %(until)s
