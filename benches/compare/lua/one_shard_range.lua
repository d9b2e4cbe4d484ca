-- A hundred rows of one sharding key.
sysbench.cmdline.options = {
   groups = {"Number of sharding keys", 1000},
}

function thread_init()
   connection = sysbench.sql.driver():connect()
end

function event()
   connection:query("SELECT line, c FROM line_items WHERE customer_id = " .. sysbench.rand.uniform(1, sysbench.opt.groups))
end

function thread_done()
   connection:disconnect()
end
