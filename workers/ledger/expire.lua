-- id, token, death, limit -> the state it left behind; nothing happens where the lease was renewed meanwhile
local id, token, death, limit = unpack(ARGV)
local lease = redis.call('ZSCORE', at('in', 'running'), id)
if not holds(id, token) or not lease or tonumber(lease) > now() then return 'held' end
return died(id, death, tonumber(limit), false)
