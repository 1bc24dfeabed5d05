-- stale: whoever polls the leases marks the books of dead owners, for people who look with redis-cli.
--
-- Guarantee: a book is marked only while its lease key is absent. A missing book is not made. The next owner's first
-- flush, a rewrite, writes its own status.
--
-- KEYS[1..] pair    per pair its lease (string) and its main (hash, expires: the expiry is left alone)
--
-- Returns how many books were turned to status `stale`.

local flipped = 0
for i = 1, #KEYS, 2 do
  local lease, main = KEYS[i], KEYS[i + 1]
  if redis.call('EXISTS', lease) == 0 then
    local status = redis.call('HGET', main, 'status')
    if status and status ~= 'stale' then
      redis.call('HSET', main, 'status', 'stale')
      flipped = flipped + 1
    end
  end
end
return flipped
