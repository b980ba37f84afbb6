-- id, token, lease, stage, done, total, peak -> 'held', or why not
local id, token, lease, stage, done, total, peak = unpack(ARGV)
if not holds(id, token) then
  return redis.call('HGET', at('job', id), 'state') == 'cancelled' and 'cancelled' or 'lost'
end
redis.call('ZADD', at('in', 'running'), now() + tonumber(lease), id)
redis.call('HSET', at('job', id), 'stage', stage, 'done', done, 'total', total, 'peak', peak)
return 'held'
