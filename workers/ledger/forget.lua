-- milliseconds, limit -> how many jobs in a final state, ended longer ago than that, were forgotten
local before, count = now() - tonumber(ARGV[1]), 0
for _, state in ipairs({'published', 'helped', 'failed', 'cancelled', 'quarantined'}) do
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', at('in', state), '-inf', before, 'LIMIT', 0, ARGV[2])) do
    redis.call('DEL', at('job', id), at('job', id, 'deaths'), at('job', id, 'helpers'))
    redis.call('ZREM', at('in', state), id)
    redis.call('ZREM', at('jobs'), id)
    count = count + 1
  end
end
return count
