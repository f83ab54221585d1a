module infernosim.dev/examples/shop-go

go 1.19
