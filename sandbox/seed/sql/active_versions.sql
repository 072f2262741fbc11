-- The newest version is active, except where somebody rolled back; some workflows are pinned to an early one.
update workflows set
    active_version_id = (
        select id from workflow_versions where workflow_id = workflows.id
        order by (workflows.id %% 12 = 5 and version = 2) desc, version desc limit 1),
    pinned_version_id = (
        select id from workflow_versions where workflow_id = workflows.id and version = 1 and workflows.id %% 15 = 3);
