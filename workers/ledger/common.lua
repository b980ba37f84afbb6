-- Prelude of every transition. KEYS[1] is the namespace; times are the server's, in milliseconds.
local ns = KEYS[1]

local function at(...)
  return table.concat({ns, ...}, ':')
end

local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function whole(number)
  return string.format('%.0f', number)
end

-- Move a job between states: it stands in exactly one of the sets ns:in:<state>.
local function enter(id, state, score, ...)
  local before = redis.call('HGET', at('job', id), 'state')
  if before then redis.call('ZREM', at('in', before), id) end
  redis.call('ZADD', at('in', state), score, id)
  redis.call('HSET', at('job', id), 'state', state, ...)
end

-- Whether `token` is the attempt that owns the job now.
local function holds(id, token)
  local found = redis.call('HMGET', at('job', id), 'state', 'token')
  return found[1] == 'running' and found[2] == token
end

-- Let another job with the same key run.
local function free(id)
  local key = redis.call('HGET', at('job', id), 'key')
  if key and redis.call('HGET', at('busy'), key) == id then redis.call('HDEL', at('busy'), key) end
end

local function is_open(id)
  local state = redis.call('HGET', at('job', id), 'state')
  return state == 'queued' or state == 'running'
end

-- With a job end those that help it: there is nothing left for them to make.
local function finish(id, state, ...)
  local time = now()
  free(id)
  redis.call('ZREM', at('waiting'), id)
  enter(id, state, time, 'ended', whole(time), ...)
  redis.call('HINCRBY', at('totals'), state, 1)
  local why = 'job ' .. id .. ' is ' .. state
  for _, helper in ipairs(redis.call('SMEMBERS', at('job', id, 'helpers'))) do
    if is_open(helper) and state == 'published' then finish(helper, 'helped', 'reason', why, 'exit_code', 0) end
    if is_open(helper) then finish(helper, 'cancelled', 'reason', why, 'exit_code', 5) end
  end
end

-- Back into the queue: behind all of its priority, or before all others, for it had begun and is not to wait twice.
local function requeue(id, behind)
  free(id)
  local job, turn = at('job', id), redis.call('INCR', at('sequence'))
  local order = behind and (9 - tonumber(redis.call('HGET', job, 'priority'))) * 1e12 + turn or turn - 1e12
  redis.call('HDEL', job, 'token', 'granted')
  enter(id, 'queued', order, 'order', whole(order), 'stage', '', 'done', 0, 'total', 0)
  redis.call('ZADD', at('waiting'), redis.call('HGET', job, 'accepted'), id)
end

-- An attempt ended without an outcome: it runs again, or is quarantined once it died too often.
local function died(id, death, limit, behind)
  redis.call('RPUSH', at('job', id, 'deaths'), death)
  if tonumber(redis.call('HGET', at('job', id), 'attempts')) >= limit then
    finish(id, 'quarantined', 'reason', 'each attempt died', 'exit_code', 5)
    return 'quarantined'
  end
  requeue(id, behind)
  return 'queued'
end
