printf x >"n/$(printf 'caf\351')"
