-- Can this server write now? Always rolled back.
INSERT INTO ops_probe.writable (at) VALUES (now())
