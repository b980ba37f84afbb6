-- id, message, key, checkpoint, requested_by, priority, limit, slot, helped job -> outcome, depth of the queue
local id, message, key, checkpoint, by, priority, limit, slot, helps = unpack(ARGV)
local depth = redis.call('ZCARD', at('in', 'queued'))
if redis.call('EXISTS', at('job', id)) == 1 then return {'known', depth} end
if helps ~= '' and not is_open(helps) then return {'over', depth} end
if depth >= tonumber(limit) then return {'full', depth} end
if slot ~= '' and not redis.call('SET', at('slot', slot), id, 'NX', 'EX', 40 * 86400) then return {'fired', depth} end
local time = now()
local order = (9 - tonumber(priority)) * 1e12 + redis.call('INCR', at('sequence'))
redis.call('HSET', at('job', id), 'id', id, 'message', message, 'key', key, 'checkpoint', checkpoint,
  'requested_by', by, 'priority', priority, 'accepted', whole(time), 'order', whole(order), 'attempts', 0)
redis.call('ZADD', at('jobs'), time, id)
redis.call('ZADD', at('waiting'), time, id)
enter(id, 'queued', order)
if helps ~= '' then redis.call('SADD', at('job', helps, 'helpers'), id) end
return {'accepted', depth + 1}
