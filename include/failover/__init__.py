"""The failover exercise on the staging target (M-02): switch over, drain, come back, and count what a client noticed."""
