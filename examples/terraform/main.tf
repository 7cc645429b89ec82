# The function as a CloudFormation stack of the packaged template, which `make release` builds.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "dist" {
  description = "Folder with the files of a release"
  type        = string
  default     = "../../dist"
}

variable "architecture" {
  description = "The function's architecture, arm64 or x86_64. The folder must have its archive"
  type        = string
  default     = "arm64"
}

variable "artifacts" {
  description = "Name of a bucket for the archive and the template, in the region of the stack"
  type        = string
}

variable "parameters" {
  description = "The template's parameters. Lists are texts with commas"
  type        = map(string)
  default     = { BucketNames = "my-bucket" }
}

locals {
  archive = "invalidator-${var.architecture}.zip"
  template = replace(
    file("${var.dist}/template-${var.architecture}.yaml"),
    "CodeUri: ${local.archive}",
    "CodeUri: s3://${var.artifacts}/${aws_s3_object.code.key}",
  )
}

# Each version has a key of its own, so that the stack sees a change and can roll it back.
resource "aws_s3_object" "code" {
  bucket = var.artifacts
  key    = "cloudfront-invalidator/${filesha256("${var.dist}/${local.archive}")}.zip"
  source = "${var.dist}/${local.archive}"

  lifecycle {
    create_before_destroy = true
  }
}

# CloudFormation takes a template of more than 51,200 bytes only from S3.
resource "aws_s3_object" "template" {
  bucket  = var.artifacts
  key     = "cloudfront-invalidator/${sha256(local.template)}.yaml"
  content = local.template

  lifecycle {
    create_before_destroy = true
  }
}

data "aws_s3_bucket" "artifacts" {
  bucket = var.artifacts
}

resource "aws_cloudformation_stack" "invalidator" {
  name         = "cloudfront-invalidator"
  template_url = "https://${data.aws_s3_bucket.artifacts.bucket_regional_domain_name}/${aws_s3_object.template.key}"
  parameters   = var.parameters
  capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
}

output "outputs" {
  description = "The stack's outputs, such as TurnOnEvents"
  value       = aws_cloudformation_stack.invalidator.outputs
}
