-- release: give a lease back, so that an heir need not wait for its expiry. Also resigns a leader (same form of value).
--
-- Guarantee: deletes the lease only while its value is exactly the one we were granted.
--
-- KEYS[1] lease     string `token holder`
-- ARGV[1] value     `token holder`
--
-- Returns
--   RELEASED    it was ours and is gone
--   NOT_OURS    it had expired or belongs to somebody else

local lease = KEYS[1]
local value = ARGV[1]

if redis.call('GET', lease) ~= value then
  return 'NOT_OURS'
end
redis.call('DEL', lease)
return 'RELEASED'
