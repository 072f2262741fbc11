-- Who may enter which database of the ops server. Run as a superuser in any database after both exist; may be run again.
revoke all on database airflow, ops from public;
grant connect on database ops to ops_evidence_writer, ops_evidence_reader, ops_runner, ops_approver;
