-- How fresh are the events?
SELECT max(ts) AS newest FROM events WHERE ts <= %(until)s
