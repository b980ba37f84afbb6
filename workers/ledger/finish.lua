-- id, token, state, then pairs of fields -> 1 where the job is in that state by this attempt
local id, token, state = ARGV[1], ARGV[2], ARGV[3]
if holds(id, token) then
  finish(id, state, unpack(ARGV, 4))
  return 1
end
local found = redis.call('HMGET', at('job', id), 'state', 'token')
return (found[1] == state and found[2] == token) and 1 or 0
