-- id -> the state before, or nothing where there is no such job; an attempt that may publish is past cancelling
local id = ARGV[1]
local found = redis.call('HMGET', at('job', id), 'state', 'granted')
if not found[1] then return nil end
if found[1] == 'queued' or (found[1] == 'running' and not found[2]) then
  finish(id, 'cancelled', 'reason', 'cancelled on request', 'exit_code', 5)
end
return found[2] and found[1] == 'running' and 'publishing' or found[1]
