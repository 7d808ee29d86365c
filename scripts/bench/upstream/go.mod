module example.com/bench/upstream

go 1.24
