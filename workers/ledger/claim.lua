-- owner, nonce, lease -> id, token, attempt, message of the best job that can run now; the attempt counts from here
local owner, nonce, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
local function told(id)
  local found = redis.call('HMGET', at('job', id), 'token', 'attempts', 'message')
  return {id, found[1], tonumber(found[2]), found[3]}
end
local again = redis.call('GET', at('claim', nonce))
if again then return told(again) end

local function is_busy(id)
  local holder = redis.call('HGET', at('busy'), redis.call('HGET', at('job', id), 'key'))
  return holder and redis.call('HGET', at('job', holder), 'state') == 'running'
end
-- looks at a thousand jobs at most: a script stops the server while it runs
local function best()
  for first = 0, 900, 100 do
    local page = redis.call('ZRANGE', at('in', 'queued'), first, first + 99)
    for _, id in ipairs(page) do
      if not is_busy(id) then return id end
    end
    if #page < 100 then return nil end
  end
end

local id = best()
if not id then return nil end
redis.call('SET', at('epoch'), nonce, 'NX')
local token = table.concat({redis.call('GET', at('epoch')), redis.call('INCR', at('token')), nonce}, '-')
local time = now()
redis.call('SET', at('claim', nonce), id, 'EX', 120)
redis.call('HSET', at('busy'), redis.call('HGET', at('job', id), 'key'), id)
redis.call('ZREM', at('waiting'), id)
redis.call('HINCRBY', at('job', id), 'attempts', 1)
redis.call('HDEL', at('job', id), 'granted')
enter(id, 'running', time + lease, 'token', token, 'owner', owner, 'started', whole(time),
  'stage', 'starting', 'done', 0, 'total', 0, 'peak', 0)
return told(id)
