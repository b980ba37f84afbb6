-- id, token -> 1; an attempt that was stopped on purpose does not count
local id, token = unpack(ARGV)
if not holds(id, token) then return 0 end
redis.call('HINCRBY', at('job', id), 'attempts', -1)
requeue(id, false)
return 1
