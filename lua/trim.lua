-- trim: cut a shard's stream without taking anything from a live reader group.
--
-- Guarantee: an entry that a live group has not acknowledged, or not been given yet, stays; so does an entry younger
-- than retain_ms. Only the hard cap breaks this, and says so. A group is live when its most recent consumer has asked
-- within dead_group_ms; a group nobody has read for so long holds nothing back.
--
-- KEYS[1] stream    deltas or trades of a shard, permanent
-- ARGV[1] retain_ms      least age of what is cut, milliseconds (age by id against the server's clock)
-- ARGV[2] maxlen         hard cap, entries
-- ARGV[3] dead_group_ms  a group idle for longer is dead, milliseconds
--
-- Returns
--   TRIMMED removed           entries removed, all of them acknowledged by every live group and old enough
--   CAPPED removed oldest     the hard cap cut further; id of the oldest entry kept ('0-0': none is kept)

local stream = KEYS[1]
local retain_ms, maxlen, dead_group_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local function named(flat)
  local fields = {}
  for i = 1, #flat, 2 do
    fields[flat[i]] = flat[i + 1]
  end
  return fields
end

local function below(a, b)
  local a_ms, a_seq = string.match(a, '^(%d+)-(%d+)$')
  local b_ms, b_seq = string.match(b, '^(%d+)-(%d+)$')
  a_ms, b_ms = tonumber(a_ms), tonumber(b_ms)
  return a_ms < b_ms or (a_ms == b_ms and tonumber(a_seq) < tonumber(b_seq))
end

local function is_live(group)
  for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
    if named(consumer).idle < dead_group_ms then
      return true
    end
  end
  return false
end

local length = redis.call('XLEN', stream)
if length == 0 then
  return {'TRIMMED', 0}
end

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local keep_from = string.format('%.0f-0', math.max(0, now_ms - retain_ms))
for _, flat in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local group = named(flat)
  if is_live(group.name) then
    -- The last delivered entry itself is kept: one entry more, and no arithmetic on ids.
    local needed = group['last-delivered-id']
    if group.pending > 0 then
      needed = redis.call('XPENDING', stream, group.name)[2] or needed
    end
    if below(needed, keep_from) then
      keep_from = needed
    end
  end
end

local removed = redis.call('XTRIM', stream, 'MINID', keep_from)
if length - removed <= maxlen then
  return {'TRIMMED', removed}
end
removed = removed + redis.call('XTRIM', stream, 'MAXLEN', maxlen)
local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
return {'CAPPED', removed, oldest and oldest[1] or '0-0'}
