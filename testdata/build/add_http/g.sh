echo fetched
