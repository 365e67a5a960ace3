# Rng.pm
#    Choices that depend on a text (seed and round) and on nothing else, so that
#    a round can be repeated alone and a run can be resumed.
package Rng;

use strict;
use warnings;
use Digest::SHA qw(sha256);

sub new
{
	my ($class, $text) = @_;
	return bless { text => $text, n => 0, pool => [] }, $class;
}

# 0 <= value < 2**32
sub word
{
	my ($self) = @_;
	push @{ $self->{pool} }, unpack('N8', sha256("$self->{text}/" . $self->{n}++)) unless @{ $self->{pool} };
	return shift @{ $self->{pool} };
}

sub below { my ($self, $n) = @_; return int($self->word * $n / 4294967296) }

# A number between, in hundredths.
sub between
{
	my ($self, $low, $high) = @_;
	return int(($low + ($high - $low) * $self->word / 4294967296) * 100) / 100;
}

sub pick { my ($self, @list) = @_; return $list[ $self->below(scalar @list) ] }

sub chance { my ($self, $p) = @_; return $self->word < $p * 4294967296 }

sub shuffle
{
	my ($self, @list) = @_;
	for my $i (reverse 1 .. $#list)
	{
		my $k = $self->below($i + 1);
		@list[ $i, $k ] = @list[ $k, $i ];
	}
	return @list;
}

1;
