-- id, report, exit code, milliseconds to remember it
local id, report, code, keep = unpack(ARGV)
local key = redis.call('HGET', at('batch', id), 'key')
if not key then return 0 end
if redis.call('HGET', at('batch-keys'), key) == id then redis.call('HDEL', at('batch-keys'), key) end
redis.call('ZREM', at('open-batches'), id)
redis.call('HSET', at('batch', id), 'report', report, 'exit_code', code)
redis.call('PEXPIRE', at('batch', id), keep)
return 1
