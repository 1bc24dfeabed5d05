-- elect: become or stay leader. (To resign: release with KEYS leader and value `term member`.)
--
-- Guarantee: at most one member holds the leader key, under a term above every term before it. The term is the fence of
-- what a leader writes; like a token it is a time and above what the candidate has seen, so it also grows over a flush.
--
-- KEYS[1] leader    string `term member`, expires after ttl_ms
-- KEYS[2] term      integer, permanent
-- ARGV[1] member    host:pid:nonce
-- ARGV[2] ttl_ms    milliseconds
-- ARGV[3] floor     highest term the candidate has seen, 0 if none
--
-- Returns
--   LEADER term             we were leader and are for ttl_ms more
--   ELECTED term            nobody was; we are now, under a new term
--   FOLLOWER term leader    somebody else is

local leader, term_key = KEYS[1], KEYS[2]
local member, ttl_ms, floor = ARGV[1], ARGV[2], tonumber(ARGV[3])

local held = redis.call('GET', leader)
if held then
  local term, name = string.match(held, '^(%d+) (.*)$')
  if name == member then
    redis.call('PEXPIRE', leader, ttl_ms)
    return {'LEADER', term}
  end
  return {'FOLLOWER', term, name}
end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local last = tonumber(redis.call('GET', term_key) or '0')
local term = string.format('%.0f', math.max(last + 1, now_ms, floor + 1))
redis.call('SET', term_key, term)
redis.call('SET', leader, term .. ' ' .. member, 'PX', ttl_ms)
return {'ELECTED', term}
