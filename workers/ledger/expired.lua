-- -> id, token, granted audit, owner, attempt, stage, peak, started of each attempt whose lease ran out
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', at('in', 'running'), '-inf', now(), 'LIMIT', 0, 100)) do
  local job = redis.call('HMGET', at('job', id), 'token', 'granted', 'owner', 'attempts', 'stage', 'peak', 'started')
  table.insert(found, {id, unpack(job, 1, 7)})
end
return found
