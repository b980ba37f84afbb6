-- id, reason, exit code: a message that cannot be a job leaves a failed one, so that its sender can see why
local id, reason, code = unpack(ARGV)
if redis.call('EXISTS', at('job', id)) == 1 then return 0 end
local time = now()
redis.call('HSET', at('job', id), 'id', id, 'accepted', whole(time), 'attempts', 0)
redis.call('ZADD', at('jobs'), time, id)
finish(id, 'failed', 'reason', reason, 'exit_code', code)
return 1
