package store

import (
	"context"
	"encoding/json"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// maxOps is how many keys one transaction writes; etcd's default limit is 128.
	maxOps = 100
	// maxBytes is when a transaction is sent though it has room for more keys; etcd takes 1.5 MiB.
	maxBytes = 512 << 10
)

// flush writes what waits now. An error means that etcd cannot be reached; what it refuses stays
// queued, and Err says so.
func (e *Etcd) flush(ctx context.Context) error {
	for left := e.queue.waiting(); left > 0; {
		batch := e.queue.take(min(left, maxOps))
		if len(batch) == 0 {
			return nil
		}
		left -= len(batch)
		for len(batch) > 0 {
			n, err := e.write(ctx, batch)
			for _, c := range batch[:n] {
				if err == nil {
					e.queue.done(c)
				} else {
					e.queue.failed(c, err)
				}
			}
			batch = batch[n:]
			if err != nil && unreachable(err) {
				for _, c := range batch {
					e.queue.failed(c, err)
				}
				return err
			}
		}
	}
	return nil
}

// write writes the first n changes of a batch in one transaction.
func (e *Etcd) write(ctx context.Context, batch []change) (n int, err error) {
	var ops []clientv3.Op
	for size := 0; n < len(batch) && size < maxBytes; n++ {
		c := batch[n]
		key := e.prefix + c.name
		if c.rec == nil {
			// Another server may have put a newer one there, which must stay.
			same := clientv3.Compare(clientv3.ModRevision(key), "=", e.known[c.name].revision)
			ops = append(ops, clientv3.OpTxn([]clientv3.Cmp{same}, []clientv3.Op{clientv3.OpDelete(key)}, nil))
			continue
		}
		value, err := json.Marshal(stored{c.rec.Report, c.rec.Authenticated})
		if err != nil { // one record that cannot be written must not keep the others from it
			e.log.Error("report not kept in etcd", "agent", c.name, "error", err)
			continue
		}
		size += len(value)
		ops = append(ops, clientv3.OpPut(key, string(value), clientv3.WithLease(e.lease)))
	}
	ctx, cancel := context.WithTimeout(ctx, e.cfg.timeout())
	defer cancel()
	resp, err := e.client.Txn(ctx).Then(ops...).Commit()
	if errors.Is(err, rpctypes.ErrLeaseNotFound) { // all servers were cut off for longer than the TTL
		e.lease = clientv3.NoLease
		if err := e.keepAlive(ctx); err != nil {
			return n, err
		}
	}
	if err != nil {
		return n, err
	}
	for _, c := range batch[:n] {
		if c.rec != nil {
			e.known[c.name] = place{resp.Header.Revision, e.lease}
		}
	}
	return n, nil
}

// unreachable tells an etcd that does not answer from one that refuses.
func unreachable(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return true
	}
	code := status.Code(err)
	if refusal, ok := errors.AsType[rpctypes.EtcdError](err); ok {
		code = refusal.Code()
	}
	return code == codes.Unavailable || code == codes.DeadlineExceeded || code == codes.Canceled
}
