-- id, token, death, limit -> the state it left behind
local id, token, death, limit = unpack(ARGV)
if not holds(id, token) then return 'lost' end
return died(id, death, tonumber(limit), true)
