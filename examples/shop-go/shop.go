package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

type shop struct {
	client                       *http.Client
	inventory, payments, courier string
	token                        string
	orders                       int64
}

// refused is what the client is told instead of an order.
type refused struct {
	status int
	why    string
}

func (r refused) Error() string { return r.why }

type stock struct {
	Stock, Price int
}

func newShop() *shop {
	return &shop{
		client:    &http.Client{Transport: &http.Transport{Proxy: proxy}, Timeout: 2 * time.Second},
		inventory: env("INVENTORY_URL", "http://localhost:7001"),
		payments:  env("PAYMENTS_URL", "http://localhost:7002"),
		courier:   env("COURIER_URL", "http://localhost:7003"),
		token:     env("PAYMENTS_TOKEN", "shop-secret"),
	}
}

func (s *shop) demo(r *http.Request) (int, any, error) {
	apples, err := s.stockOf(r, "apple")
	return http.StatusOK, struct {
		Shop   string `json:"shop"`
		Apples int    `json:"apples"`
	}{name, apples.Stock}, err
}

func (s *shop) checkout(r *http.Request) (int, any, error) {
	var order struct {
		Item  string
		Count int
	}
	if err := json.NewDecoder(r.Body).Decode(&order); err != nil || order.Item == "" || order.Count < 1 {
		return 0, nil, refused{http.StatusBadRequest, `an order is {"item": …, "count": …}`}
	}
	stock, err := s.stockOf(r, order.Item)
	if err != nil {
		return 0, nil, err
	}
	if stock.Stock < order.Count {
		return 0, nil, refused{http.StatusConflict, fmt.Sprintf("only %d left", stock.Stock)}
	}
	total := stock.Price * order.Count
	if err := s.charge(r, total); err != nil {
		return 0, nil, err
	}
	offer := s.offer(r, order.Item, order.Count)
	return http.StatusCreated, struct {
		Order   int64           `json:"order"`
		Total   int             `json:"total"`
		Courier json.RawMessage `json:"courier"`
	}{atomic.AddInt64(&s.orders, 1), total, offer}, nil
}

func (s *shop) stockOf(r *http.Request, item string) (stock stock, err error) {
	status, err := s.call(r, "inventory", http.MethodGet, s.inventory+"/stock/"+url.PathEscape(item), nil, &stock)
	switch {
	case err != nil:
		return stock, err
	case status == http.StatusNotFound:
		return stock, refused{status, fmt.Sprintf("no %s here", item)}
	case status != http.StatusOK:
		return stock, refused{http.StatusBadGateway, "the inventory is out of order"}
	}
	return stock, nil
}

func (s *shop) charge(r *http.Request, amount int) error {
	var receipt json.RawMessage
	charge := map[string]int{"amount": amount}
	status, err := s.call(r, "payments", http.MethodPost, s.payments+"/charge", charge, &receipt)
	switch {
	case err != nil:
		return err
	case status == http.StatusPaymentRequired:
		return refused{status, "the card is refused"}
	case status != http.StatusOK:
		return refused{http.StatusBadGateway, "the payments are out of order"}
	}
	return nil
}

// offer asks the courier, who is often ill; the shop copes.
func (s *shop) offer(r *http.Request, item string, count int) json.RawMessage {
	query := url.Values{"item": {item}, "count": {fmt.Sprint(count)}}
	var offer json.RawMessage
	status, err := s.call(r, "courier", http.MethodGet, s.courier+"/quote?"+query.Encode(), nil, &offer)
	if err != nil || status != http.StatusOK {
		return nil
	}
	return offer
}
