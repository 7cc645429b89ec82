"""The function that people paste: one call for each record, with the raw key."""

import time
from urllib.parse import unquote_plus

import boto3

client = boto3.client("cloudfront")


def handler(event, context):
    for record in event["Records"]:
        client.create_invalidation(
            DistributionId="E1EXAMPLE",
            InvalidationBatch={
                "Paths": {"Quantity": 1, "Items": ["/" + unquote_plus(record["s3"]["object"]["key"])]},
                "CallerReference": str(time.time()),
            },
        )
