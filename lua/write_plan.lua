-- write_plan: a part of the leader's plan, in several calls where it is large; the head comes with the last.
--
-- Guarantee: nothing is written unless the leader key names this term and member in the same step: a deposed leader never
-- overwrites its successor's plan. A head names the revision of every member's orders, so a reader that finds another
-- revision than the head's knows that a plan is half written. Everything expires ttl_ms after the leader's last call.
--
-- KEYS[1] leader    string `term member`, written by elect
-- KEYS[2] head      hash of the plan; replaced by the last call, extended by the others
-- KEYS[3] unplaced  hash label -> reason; emptied by the first call of a plan
-- KEYS[4] moves     list of JSON, newest first
-- KEYS[5..] plan    string, JSON, one member's orders
-- ARGV[1] value     `term member`, the caller's
-- ARGV[2] ttl_ms    milliseconds
-- ARGV[3] retain    how many moves are kept
-- ARGV[4] rows      msgpack {first, head, unplaced, moves}: is it the first call of a plan; head as name, value, … (empty: a later
--                   call brings it); label, reason, …; JSON of moves, oldest first
-- ARGV[5..] text    one for each plan key: its new text, `-` to delete it, `=` to keep it
--
-- Returns
--   WRITTEN absent    absent: how many of the keys to keep were not there
--   REFUSED leader    the leader key names another (or nobody: empty): nothing was written

local leader, head_key, unplaced_key, moves_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local value, ttl_ms, retain = ARGV[1], ARGV[2], tonumber(ARGV[3])
local A_CALL = 1000 -- arguments Lua can unpack at once

local held = redis.call('GET', leader)
if held ~= value then
  return {'REFUSED', held or ''}
end

local function in_parts(command, key, list)
  for i = 1, #list, A_CALL do
    redis.call(command, key, unpack(list, i, math.min(i + A_CALL - 1, #list)))
  end
end

local rows = cmsgpack.unpack(ARGV[4])
local first, head, unplaced, moves = rows[1], rows[2], rows[3], rows[4]
if first then
  redis.call('DEL', unplaced_key)
end
in_parts('HSET', unplaced_key, unplaced)
in_parts('LPUSH', moves_key, moves)
redis.call('LTRIM', moves_key, 0, retain - 1)

local absent = 0
for i = 5, #KEYS do
  local text = ARGV[i]
  if text == '-' then
    redis.call('DEL', KEYS[i])
  elseif text == '=' then
    absent = absent + 1 - redis.call('PEXPIRE', KEYS[i], ttl_ms)
  else
    redis.call('SET', KEYS[i], text, 'PX', ttl_ms)
  end
end

if #head > 0 then
  redis.call('DEL', head_key)
  in_parts('HSET', head_key, head)
end
for i = 2, 4 do
  redis.call('PEXPIRE', KEYS[i], ttl_ms)
end
return {'WRITTEN', absent}
