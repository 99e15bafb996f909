-- Tokens whose time is over are deleted in parts, and looked for each hour. Costs a new row next to nothing.
create index refresh_tokens_by_age on refresh_tokens using brin (expires_at) with (autosummarize = on);
