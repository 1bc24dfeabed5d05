-- touch: an owner's word that quiet books are still current: nothing changed, the feed is alive.
--
-- Guarantee: only the token that owns a pair refreshes its book. The three hashes are kept together, levels longer.
--
-- KEYS[1] tail      hash, permanent: field -> `token n sequence id`
-- KEYS[2..] book    per pair main, bids, asks: hashes, expire after book_ttl_ms (levels 1 s later)
-- ARGV[1] book_ttl_ms   life of an untouched book, milliseconds
-- ARGV[2..] claim   per pair its field of tail and our token
--
-- Returns a word a pair
--   OK        checked_ms is now (server clock), the expiries are fresh
--   FENCED    the cell carries another token, or is gone: stop writing this pair
--   GONE      the hash has expired: the next flush must be a rewrite

local tail = KEYS[1]
local book_ttl_ms = tonumber(ARGV[1])
local levels_ttl_ms = book_ttl_ms + 1000
local CHUNK = 1000  -- unpack fails at about 8,000 values

local time = redis.call('TIME')
local now_ms = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local pairs_count = (#KEYS - 1) / 3
local words = {}
for first = 1, pairs_count, CHUNK do
  local last = math.min(first + CHUNK - 1, pairs_count)
  local fields = {}
  for i = first, last do
    fields[#fields + 1] = ARGV[2 * i]
  end
  local cells = redis.call('HMGET', tail, unpack(fields))
  for i = first, last do
    local main, bids, asks = KEYS[3 * i - 1], KEYS[3 * i], KEYS[3 * i + 1]
    local prefix = ARGV[2 * i + 1] .. ' '
    local cell = cells[i - first + 1]
    if not cell or string.sub(cell, 1, #prefix) ~= prefix then
      words[i] = 'FENCED'
    elseif redis.call('PEXPIRE', main, book_ttl_ms) == 0 then
      words[i] = 'GONE'
    else
      redis.call('HSET', main, 'checked_ms', now_ms)
      redis.call('PEXPIRE', bids, levels_ttl_ms)
      redis.call('PEXPIRE', asks, levels_ttl_ms)
      words[i] = 'OK'
    end
  end
end
return words
