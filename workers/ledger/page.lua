-- set, first, last, command -> fields and deaths of the jobs at these places of that set, and how many it holds
local found = {}
for _, id in ipairs(redis.call(ARGV[4], at(ARGV[1]), ARGV[2], ARGV[3])) do
  table.insert(found, {redis.call('HGETALL', at('job', id)), redis.call('LRANGE', at('job', id, 'deaths'), 0, -1)})
end
return {found, redis.call('ZCARD', at(ARGV[1]))}
