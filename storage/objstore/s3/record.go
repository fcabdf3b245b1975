package s3

import (
	"context"

	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"sluice/storage/objstore/driver"
)

// ops says how the store bills each operation that this package uses.
var ops = map[string]driver.Op{
	"PutObject": driver.OpPut, "CreateMultipartUpload": driver.OpCreate, "UploadPart": driver.OpPart, "CompleteMultipartUpload": driver.OpComplete,
	"AbortMultipartUpload": driver.OpAbort, "GetObject": driver.OpGet, "HeadObject": driver.OpStat, "ListObjectsV2": driver.OpList,
	"DeleteObject": driver.OpDelete, "DeleteObjects": driver.OpDelete,
}

// record tells the recorder of the context of every request that goes out, whatever comes of it. It stands next to the transport, so nothing that the
// client repeats or adds escapes it. What S3 Express asks for its sessions is not billed and not told.
func record(stack *middleware.Stack) error {
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("SluiceRecord",
		func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
			out, md, err := next.HandleDeserialize(ctx, in)
			r := driver.RecorderOf(ctx)
			op, billed := ops[middleware.GetOperationName(ctx)]
			if r == nil || !billed {
				return out, md, err
			}
			sent, received := int64(0), int64(0)
			if req, ok := in.Request.(*smithyhttp.Request); ok {
				sent = max(req.ContentLength, 0)
			}
			if res, ok := out.RawResponse.(*smithyhttp.Response); ok && res != nil && op == driver.OpGet {
				received = max(res.ContentLength, 0)
			}
			r.Record(op, sent, received)
			return out, md, err
		}), middleware.After)
}
