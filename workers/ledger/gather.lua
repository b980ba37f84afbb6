-- id, key, content, number of jobs -> id of the open batch with that key: this one, or the one that was there
local id, key, content, count = unpack(ARGV)
local known = redis.call('HGET', at('batch-keys'), key)
if known then return known end
redis.call('HSET', at('batch', id), 'id', id, 'key', key, 'content', content, 'count', count, 'opened', whole(now()))
redis.call('HSET', at('batch-keys'), key, id)
redis.call('ZADD', at('open-batches'), now(), id)
return id
