-- id, token, audit -> 1 where this attempt, and no other, may make its audit visible
local id, token, audit = unpack(ARGV)
if not holds(id, token) then return 0 end
redis.call('HSET', at('job', id), 'granted', audit, 'stage', 'publishing')
return 1
