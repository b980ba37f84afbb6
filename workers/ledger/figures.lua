-- -> jobs in each state, totals since the ledger began, milliseconds the oldest queued job has waited
local figures = {}
for _, state in ipairs({'queued', 'running', 'published', 'helped', 'failed', 'cancelled', 'quarantined'}) do
  table.insert(figures, redis.call('ZCARD', at('in', state)))
end
local oldest = redis.call('ZRANGE', at('waiting'), 0, 0, 'WITHSCORES')
return {figures, redis.call('HGETALL', at('totals')), oldest[2] and whole(now() - tonumber(oldest[2])) or '0'}
